//! The committed header is what cbindgen makes of the sources; `CREAM_WRITE_HEADER=1` writes it.

use std::{env, fs, str};

#[test]
fn the_header_is_current() {
    let root = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_file(format!("{root}/cbindgen.toml")).unwrap();
    let sources = ["status", "types", "calls"];
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(format!("{root}/src/{name}.rs"))
    });
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let path = format!("{root}/include/cream.h");
    if env::var_os("CREAM_WRITE_HEADER").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == str::from_utf8(&made).unwrap(),
        "include/cream.h is old: CREAM_WRITE_HEADER=1 cargo test --package cream-capi"
    );
}
