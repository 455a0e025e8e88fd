//! Who may start from an image, and what becomes of those that are wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtimes::{Interpreter, Language};

use super::fake::{World, echo_box};
use super::generic::{Places, Told};
use crate::function::FunctionConfig;

fn interpreter() -> Interpreter {
    Interpreter {
        runtime: "python3.11".to_owned(),
        served_by: "python3.11".to_owned(),
        language: Language::Python,
        executable: PathBuf::from("/usr/bin/python3.11"),
        mounts: Vec::new(),
        command: vec!["/usr/bin/python3.11".to_owned()],
        env: Vec::new(),
        version: "3.11.2".to_owned(),
    }
}

fn told() -> Told {
    let names = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    Told {
        sdk: None,
        early: names("os sys codecs"),
        names: names("os sys codecs json logging boto3 awscrt"),
        always: Vec::new(),
        at_first: Vec::new(),
    }
}

fn put(dir: &Path, name: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "").unwrap();
}

/// `Ok(None)`: it may start from the image.
fn verdict(function: &FunctionConfig) -> Result<Option<String>, String> {
    Places::of(function, &interpreter()).map(|places| places.clash(&told()))
}

#[tokio::test]
async fn variables_that_the_interpreter_reads_as_it_boots_make_a_start_plain() {
    let world = World::new(echo_box());
    let with = |name: &str, value: &str| {
        let mut function = world.function(1);
        function.environment.insert(name.to_owned(), value.to_owned());
        verdict(&function)
    };
    for (name, value) in [
        ("PYTHONHASHSEED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", ""),
        ("LD_PRELOAD", "/opt/lib/x.so"),
        ("LD_LIBRARY_PATH", "/opt/lib"),
        ("MALLOC_ARENA_MAX", "1"),
        ("GLIBC_TUNABLES", "x"),
        ("LC_ALL", "C"),
        ("LANG", "de_DE.UTF-8"),
        ("OPENSSL_CONF", "/var/task/x"),
    ] {
        assert_eq!(with(name, value), Err(format!("the interpreter reads '{name}' as it boots")));
    }
    assert_eq!(with("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrap"), Err("it has a wrapper script".to_owned()));
    assert!(with("HOME", "/var/task/home").unwrap_err().contains("home directory"));
    assert!(with("HOME", "/mnt/data").unwrap_err().contains("home directory"));
    for (name, value) in [
        ("STAGE", "prod"),
        ("TZ", "Europe/Berlin"),
        ("HOME", "/tmp"),
        ("AWS_LAMBDA_EXEC_WRAPPER", ""),
        ("PYTHONPATH", "/var/runtime"),
        ("PYTHONPATH", ""),
        ("SSL_CERT_FILE", "/var/task/ca.pem"),
    ] {
        assert_eq!(with(name, value), Ok(None), "{name}");
    }
}

#[tokio::test]
async fn a_module_of_the_function_that_the_image_holds_makes_a_start_plain() {
    let world = World::new(echo_box());
    let (code, opt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut function = world.function(1);
    function.code.unpacked_dir = code.path().to_owned();
    function.opt_dir = Some(opt.path().to_owned());
    // Loaded by every start before the function's place is searched; no modules; no module without `__init__`.
    for name in ["os.py", "json.txt", "logging/assets.txt", "mine.py", "boto3-1.0.dist-info/METADATA"] {
        put(code.path(), name);
    }
    put(opt.path(), "json.py");
    assert_eq!(verdict(&function), Ok(None));
    for (dir, name, module) in [
        (code.path(), "json.py", "json"),
        (code.path(), "logging/__init__.py", "logging"),
        (code.path(), "awscrt.cpython-311-x86_64-linux-gnu.so", "awscrt"),
        (opt.path(), "python/boto3/__init__.pyc", "boto3"),
        (opt.path(), "python/lib/python3.11/site-packages/json.so", "json"),
    ] {
        put(dir, name);
        assert_eq!(verdict(&function), Ok(Some(module.to_owned())), "{name}");
        std::fs::remove_file(dir.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_search_path_is_taken_over_where_it_is_known_what_is_in_it() {
    let world = World::new(echo_box());
    let code = tempfile::tempdir().unwrap();
    let mut function = world.function(1);
    function.code.unpacked_dir = code.path().to_owned();
    let mut with = |path: &str| {
        function.environment.insert("PYTHONPATH".to_owned(), path.to_owned());
        verdict(&function)
    };
    put(code.path(), "lib/mine.py");
    assert_eq!(with("/var/task/lib:/var/task/nothing"), Ok(None));
    for elsewhere in ["/mnt/data", "lib", "/var/task/../x", "/usr/share"] {
        assert!(with(elsewhere).unwrap_err().contains("not in its code"), "{elsewhere}");
    }
    put(code.path(), "lib/sitecustomize.py");
    assert_eq!(with("/var/task/lib"), Ok(Some("sitecustomize".to_owned())));
    // Before the interpreter's own, from its first line on.
    put(code.path(), "early/os.py");
    assert_eq!(with("/var/task/early"), Ok(Some("os".to_owned())));
}

#[tokio::test]
async fn images_are_files_that_hold_only_as_long_as_what_they_were_made_from() {
    use super::images::Images;
    let dir = tempfile::tempdir().unwrap();
    let images = Images::new(dir.path().join("images"));
    assert!(images.find("a").unwrap().is_none());
    let (mut pipe, source) = tokio::net::unix::pipe::pipe().unwrap();
    let write = async {
        tokio::io::AsyncWriteExt::write_all(&mut pipe, b"no image").await.unwrap();
        drop(pipe);
    };
    let source = source.into_nonblocking_fd().unwrap();
    let (draft, ()) = tokio::join!(images.receive("a", source, 1 << 20), write);
    assert!(draft.is_err());
    let left = std::fs::read_dir(dir.path().join("images")).unwrap().flatten();
    assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), ["restore"]);
    images.give_up("a", "it was no image");
    assert_eq!(images.find("a").unwrap_err(), Arc::from("it was no image"));
}
