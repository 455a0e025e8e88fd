// Derived by `cargo xtask models`; do not edit.
pub(super) static INDEX: &[u8] = include_bytes!("index.bin");
pub(super) static TABLES: [&[u8]; 4] = [
    include_bytes!("iam.bin"),
    include_bytes!("lambda.bin"),
    include_bytes!("logs.bin"),
    include_bytes!("sts.bin"),
];
