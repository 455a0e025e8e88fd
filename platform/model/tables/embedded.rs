// Derived by `cargo xtask models`; do not edit.
pub(super) static INDEX: &[u8] = include_bytes!("index.bin");
pub(super) static TABLES: [&[u8]; 8] = [
    include_bytes!("cloudwatch.bin"),
    include_bytes!("iam.bin"),
    include_bytes!("lambda.bin"),
    include_bytes!("logs.bin"),
    include_bytes!("s3.bin"),
    include_bytes!("sns.bin"),
    include_bytes!("sqs.bin"),
    include_bytes!("sts.bin"),
];
