//! Compiles the programs of `image/`: they run inside boxes, without a standard library, and are embedded.
//!
//! `rustc` itself does it, in a second: cargo cannot build a dependency's program and library for another crate to
//! embed. There is nothing for other architectures than x86-64 yet; there `image` offers nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=image");
    println!("cargo::rustc-check-cfg=cfg(process_images)");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_known =
        variable("CARGO_CFG_TARGET_ARCH") == "x86_64" && variable("CARGO_CFG_TARGET_OS") == "linux";
    if !is_known {
        return;
    }
    println!("cargo::rustc-cfg=process_images");
    let out = PathBuf::from(variable("OUT_DIR"));
    let image = Path::new(&variable("CARGO_MANIFEST_DIR")).join("image");
    compile(&image, &out, "checkpoint", &["--crate-type=cdylib", "-Clink-arg=-nostdlib"]);
    compile(&image, &out, "bind", &["--crate-type=cdylib", "-Clink-arg=-nostdlib"]);
    let script = format!("-Clink-arg=-Wl,-T,{}", image.join("restore.ld").display());
    let program =
        ["--crate-type=bin", "-Crelocation-model=pie", "-Clink-arg=-nostdlib", "-Clink-arg=-nostartfiles"];
    let fixed = ["-Clink-arg=-static", "-Clink-arg=-no-pie", "-Clink-arg=-Wl,--build-id=none", &script];
    compile(&image, &out, "restore", &[program, fixed].concat());
}

/// Compiles one of them to a file of its own name.
fn compile(image: &Path, out: &Path, name: &str, arguments: &[&str]) {
    let variable = |name: &str| std::env::var(name).ok();
    let mut rustc = Command::new(variable("RUSTC").unwrap_or_else(|| "rustc".to_owned()));
    rustc.args(["--edition=2024", "-Dwarnings", "-Cpanic=abort", "-Copt-level=2", "-Cstrip=symbols"]);
    rustc.arg(format!("--crate-name={name}"));
    rustc.args(variable("TARGET").map(|target| format!("--target={target}")));
    rustc.args(variable("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    rustc.args(arguments).arg(image.join(format!("{name}.rs"))).arg("-o").arg(out.join(name));
    // Made here, and so not for the options of the crate around it.
    rustc.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    let status = rustc.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{name}: {status:?} from {rustc:?}"
    );
}
