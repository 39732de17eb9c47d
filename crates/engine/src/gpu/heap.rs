//! How much memory a device can give, which wgpu itself does not tell.

/// Bytes of the largest heap that lies on the device, where its driver says (Vulkan); without those that other processes
/// hold, where it says that too (VK_EXT_memory_budget). Which is how it is now: they may take more later.
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
#[allow(unsafe_code, reason = "wgpu hands out the driver's own objects so only")]
pub(super) fn bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    use ash::{ext, vk};

    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    // SAFETY: the objects are only asked for their properties while `adapter`, which owns them, is borrowed; for what came
    // with Vulkan 1.1 only where both the loader and the device have it, and for an extension's where it is listed.
    let (properties, tells) = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let (shared, device) = (vulkan.shared_instance(), vulkan.raw_physical_device());
        let capabilities = vulkan.physical_device_capabilities();
        let version = shared.instance_api_version().min(capabilities.properties().api_version);
        if version >= vk::API_VERSION_1_1 && capabilities.supports_extension(ext::memory_budget::NAME) {
            let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
            shared.raw_instance().get_physical_device_memory_properties2(device, &mut properties);
            (properties.memory_properties, true)
        } else {
            (shared.raw_instance().get_physical_device_memory_properties(device), false)
        }
    };
    let heaps = properties.memory_heaps.iter().zip(budget.heap_budget.iter().zip(budget.heap_usage));
    let heaps = heaps.take(properties.memory_heap_count as usize);
    let (heap, (&budget, usage)) = heaps
        .filter(|(heap, _)| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL))
        .max_by_key(|(heap, _)| heap.size)?;
    Some(if tells { free(heap.size, budget, usage) } else { heap.size })
}

/// What a process may still take of a heap: its budget is of all that it holds, and leaves out what others hold.
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
fn free(size: u64, budget: u64, usage: u64) -> u64 {
    budget.min(size).saturating_sub(usage)
}

#[cfg(not(any(target_os = "linux", target_os = "windows", target_os = "android")))]
pub(super) fn bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
mod tests {
    use super::*;

    #[test]
    fn what_others_hold_is_not_free() {
        // Of 24 GB others hold 10; then this process 3 of the rest.
        assert_eq!(free(24, 14, 0), 14);
        assert_eq!(free(24, 14, 3), 11);
        assert_eq!(free(24, 14, 15), 0);
        // A driver may promise more than there is.
        assert_eq!(free(24, 30, 3), 21);
    }
}
