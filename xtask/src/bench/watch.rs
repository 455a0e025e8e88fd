//! The development loop: from the save of a file to the function deployed anew.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Plan;
use super::platform::{Client, FUNCTIONS, Platform};
use super::report::{Better, Findings, Row, median};

/// Saves per repeat.
const SAVES: usize = 5;
const LIMIT: Duration = Duration::from_secs(20);

const TEMPLATE: &str = "\
Transform: AWS::Serverless-2016-10-31
Resources:
  Watched:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: watched
      Runtime: python3.11
      Handler: app.handler
      CodeUri: python/
";

/// `lamplighter run DIR --watch` with a small Python function.
pub(super) fn watch(plan: &Plan) -> Result<Findings, String> {
    let folder = &plan.folder;
    let application = folder.join("application");
    let code = application.join("python/app.py");
    let wrong = |error: std::io::Error| format!("{}: {error}", application.display());
    fs::create_dir_all(application.join("python")).map_err(wrong)?;
    fs::write(application.join("template.yaml"), TEMPLATE).map_err(wrong)?;
    fs::write(&code, source("first")).map_err(wrong)?;
    let shown = application.to_str().ok_or("the temporary folder has no plain name")?;
    let platform = Platform::with(&["run", shown, "--watch"], &folder.join("data"))?;
    let mut client = platform.client()?;
    watching(&folder.join("data.log"))?;
    let mut times_ms = Vec::new();
    for repeat in 0..plan.repeats {
        let mut round_ms = Vec::new();
        for save in 0..SAVES {
            let before = sha(&mut client)?;
            let marker = format!("{repeat}-{save}");
            let started = Instant::now();
            fs::write(&code, source(&marker)).map_err(wrong)?;
            while sha(&mut client)? == before {
                if started.elapsed() > LIMIT {
                    return Err("a save was not deployed".to_owned());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            round_ms.push(started.elapsed().as_secs_f64() * 1e3);
            client.invoke("watched", &marker)?;
        }
        times_ms.push(median(&round_ms));
    }
    let row = Row::alone("watch", "save to deployed", "ms", &times_ms);
    Ok(vec![row.promised(Better::Lower, 100.0)].into())
}

fn source(marker: &str) -> String {
    format!("def handler(event, context):\n    return \"{marker}\"\n")
}

fn sha(client: &mut Client) -> Result<String, String> {
    let answer = client.call("GET", &format!("{FUNCTIONS}/watched/configuration"), "")?;
    Ok(answer["CodeSha256"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the server says that it watches the folder.
fn watching(log: &Path) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.contains("watching") {
            return Ok(());
        }
        if started.elapsed() > LIMIT {
            return Err(format!("the server did not begin to watch: {text}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
