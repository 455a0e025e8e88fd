//! `fan-out`: one publish to a hundred queues: how long it takes, and how often the disk is synced for it.
//!
//! Syncs are counted by `strace`, in the server's own threads, while nobody else calls it; the publishes whose time is
//! taken come before.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::Plan;
use super::super::platform::{Platform, signed_for};
use super::super::report::{Better, Findings, Row, quantile};
use super::{Client, QUEUE_ARN, in_threads, or_skipped};
use crate::tools;

const SCENARIO: &str = "fan-out";
const QUEUES: usize = 100;
const PUBLISHES: usize = 200;
/// Publishes while syncs are counted.
const COUNTED: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);
/// A server that was told to do something has done it after this long.
const SETTLING: Duration = Duration::from_millis(300);
/// Syncs for one publish, at most: one commit.
const SYNCS: f64 = 1.0;

/// One topic, a hundred queues.
pub(in super::super) fn fan_out(plan: &Plan) -> Result<Findings, String> {
    or_skipped(SCENARIO, measure(plan))
}

fn measure(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
    let mut client = Client::open(platform.address)?;
    let topic = sns(&mut client, "CreateTopic", &[("Name", "fan")])?;
    let topic = element(&topic, "TopicArn")?;
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "sns.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }],
    });
    let mut urls = Vec::new();
    for number in 0..QUEUES {
        let name = format!("fan-{number}");
        urls.push(client.create_queue(&name, &json!({ "Policy": policy.to_string() }))?);
        let endpoint = format!("{QUEUE_ARN}{name}");
        sns(&mut client, "Subscribe", &[("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)])?;
    }
    let mut sent = 0;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..plan.repeats {
        let mut times = Vec::new();
        for _ in 0..plan.times(PUBLISHES) {
            let started = Instant::now();
            publish(&mut client, &topic)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            sent += 1;
        }
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    let mut findings = Findings::from(vec![
        Row::alone(SCENARIO, "publish to 100 queues p50", "ms", &p50),
        Row::alone(SCENARIO, "publish to 100 queues p99", "ms", &p99),
    ]);
    thread::sleep(SETTLING);
    match Syncs::count(platform.pid(), &plan.folder) {
        Ok(syncs) => {
            // Each by itself: now and then the store puts its tables in order beside a publish, which nobody waits for.
            let mut each = Vec::new();
            for _ in 0..COUNTED {
                let before = syncs.so_far()?;
                publish(&mut client, &topic)?;
                thread::sleep(SETTLING);
                each.push((syncs.so_far()? - before) as f64);
            }
            sent += COUNTED;
            syncs.end()?;
            let row = Row::alone(SCENARIO, "syncs of the disk for a publish to 100 queues", "", &each);
            findings.rows.push(row.promised(Better::Lower, SYNCS));
        }
        Err(error) => findings.note(SCENARIO, format!("syncs are not counted: {error}")),
    }
    arrived(&platform, &urls, sent)?;
    Ok(findings)
}

fn publish(client: &mut Client, topic: &str) -> Result<(), String> {
    let answer = sns(client, "Publish", &[("TopicArn", topic), ("Message", "to all of you")])?;
    element(&answer, "MessageId").map(|_| ())
}

/// Every queue must hold every message.
fn arrived(platform: &Platform, urls: &[String], sent: usize) -> Result<(), String> {
    in_threads(4, |number| {
        let mut client = Client::open(platform.address)?;
        for url in urls.iter().skip(number).step_by(4) {
            let started = Instant::now();
            loop {
                let names = ["ApproximateNumberOfMessages"];
                let request = json!({ "QueueUrl": url, "AttributeNames": names });
                let answer = client.sqs("GetQueueAttributes", &request)?;
                let count = answer["Attributes"][names[0]].as_str().unwrap_or_default();
                if count == sent.to_string() {
                    break;
                }
                if started.elapsed() > LIMIT {
                    return Err(format!("{sent} messages were published, {url} has {count}"));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    })
    .map(|_| ())
}

/// A call to SNS, whose protocol is a form; the answer is XML.
fn sns(client: &mut Client, action: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
    let mut body = format!("Action={action}&Version=2010-03-31");
    for (name, value) in parameters {
        let value = value.replace(':', "%3A").replace(' ', "+");
        body += &format!("&{name}={value}");
    }
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let request = signed_for("sns", client.address, "POST", "/", &headers, &body);
    let answer = client.exchange(&request).map_err(|error| format!("{action}: {error}"))?;
    Ok(String::from_utf8_lossy(answer).into_owned())
}

fn element(xml: &str, name: &str) -> Result<String, String> {
    let inner = xml.split(&format!("<{name}>")).nth(1).and_then(|rest| rest.split("</").next());
    inner.map(str::to_owned).ok_or_else(|| format!("no {name} in {xml}"))
}

/// A `strace` that writes down every sync of a process.
struct Syncs {
    child: Child,
    file: std::path::PathBuf,
}

impl Syncs {
    fn count(pid: u32, folder: &Path) -> Result<Self, String> {
        let (file, log) = (folder.join("syncs.txt"), folder.join("strace.log"));
        let errors = fs::File::create(&log).map_err(|error| error.to_string())?;
        let child = Command::new("strace")
            .args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"])
            .arg(&file)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let mut syncs = Syncs { child, file };
        let started = Instant::now();
        while !fs::read_to_string(&log).unwrap_or_default().contains("attached") {
            let ended = syncs.child.try_wait().ok().flatten().is_some();
            if ended || started.elapsed() > LIMIT {
                return Err(format!("strace: {}", fs::read_to_string(&log).unwrap_or_default()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        // It says so of the first thread.
        thread::sleep(SETTLING);
        Ok(syncs)
    }

    fn so_far(&self) -> Result<usize, String> {
        let text = fs::read_to_string(&self.file).map_err(|error| error.to_string())?;
        Ok(text.lines().filter(|line| line.contains("sync") && !line.contains("resumed")).count())
    }

    /// Lets go of the process.
    fn end(mut self) -> Result<(), String> {
        tools::run("kill", &["-INT".to_owned(), self.child.id().to_string()])?;
        self.child.wait().map(|_| ()).map_err(|error| error.to_string())
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        super::super::platform::end(&mut self.child);
    }
}
