//! How much memory a device has, which wgpu itself does not tell.

/// Bytes of the largest heap that lies on the device, where its driver says (Vulkan).
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
#[allow(unsafe_code, reason = "wgpu hands out the driver's own objects so only")]
pub(super) fn bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the objects are only asked for their properties while `adapter`, which owns them, is borrowed.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
}

#[cfg(not(any(target_os = "linux", target_os = "windows", target_os = "android")))]
pub(super) fn bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}
