//! Cold starts: the first invoke of a function beside the same runtime client started bare, and many at once.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::bare;
use super::functions::{EXPECTED, Function};
use super::platform::Platform;
use super::report::{Better, Row, median};

/// Starts per repeat and side.
const STARTS: usize = 10;
/// Simultaneous invokes of `burst-8`.
const BURST: usize = 8;

/// Every kind of runtime.
pub(super) fn cold(folder: &Path, repeats: usize) -> Result<Vec<Row>, String> {
    let platform = Platform::start(&folder.join("data"))?;
    let mut rows = Vec::new();
    for function in Function::HELLOS {
        let name = function.name();
        let mut client = platform.client()?;
        client.create(function, name)?;
        client.invoke(name, EXPECTED)?;
        bare::cold_start(function, folder)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for repeat in 0..repeats {
            let (mut ours_ms, mut theirs_ms) = (Vec::new(), Vec::new());
            for start in 0..STARTS {
                theirs_ms.push(bare::cold_start(function, folder)?.as_secs_f64() * 1e3);
                client.make_cold(name, &format!("{repeat}-{start}"))?;
                ours_ms.push(client.invoke(name, EXPECTED)?.as_secs_f64() * 1e3);
            }
            ours.push(median(&ours_ms));
            theirs.push(median(&theirs_ms));
        }
        let row = Row::beside("cold", format!("{name} first answer, vs bare"), "ms", (&ours, &theirs));
        rows.push(row.promised(Better::Lower, 1.3));
    }
    Ok(rows)
}

/// Eight invokes of a function that takes 200 ms, nothing warm.
pub(super) fn burst(folder: &Path, repeats: usize) -> Result<Vec<Row>, String> {
    let platform = Platform::start(&folder.join("data"))?;
    let name = Function::Slow.name();
    platform.client()?.create(Function::Slow, name)?;
    platform.client()?.invoke(name, EXPECTED)?;
    let mut times_ms = Vec::new();
    for repeat in 0..repeats {
        platform.client()?.make_cold(name, &repeat.to_string())?;
        let barrier = Barrier::new(BURST + 1);
        let taken: Result<f64, String> = thread::scope(|scope| {
            let invoke = || {
                let client = platform.client();
                barrier.wait();
                client.and_then(|mut client| client.invoke(name, EXPECTED))
            };
            let threads: Vec<_> = (0..BURST).map(|_| scope.spawn(invoke)).collect();
            barrier.wait();
            let started = Instant::now();
            for thread in threads {
                thread.join().map_err(|_| "a client thread panicked".to_owned())??;
            }
            Ok(started.elapsed().as_secs_f64() * 1e3)
        });
        times_ms.push(taken?);
    }
    Ok(vec![Row::alone("burst-8", "8 at once, 200 ms each, all done", "ms", &times_ms)])
}
