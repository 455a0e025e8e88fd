//! The words of `docs/performance.md`: what is measured and how. No numbers of a run are in here.

use super::{Plot, Shown};

pub(super) const BEGINNING: &str = "\
# Performance

What Lamplighter takes and what others take, measured side by side. This page, its plots and its numbers are made by one
command; nothing on it is written by hand:

```
cargo xtask bench --write-docs
```

## How it is measured

- Every number stands beside its references, which ran in the same minutes on the same machine, in turns. *Ours*,
  *reference* and *ratio* are medians over the rounds; the ratio is taken round by round. Machines are noisy, and noise
  meets both sides: **read the ratio first**. For rates a larger ratio is better, for times and sizes a smaller one.
- The server is a release build with its defaults: full sandbox, signatures checked, every write on disk before its
  answer. Only the port and the data folder are given.
- One wrong answer ends a scenario, and then it has no numbers: every single answer's status and body are checked.
- Functions have 1,769 MB, which is one processor, so that no limit of theirs is measured.
- The load client is a few threads over plain sockets. What it costs is in the tables of the warm invokes.

The references:

| name | what it is |
| --- | --- |
| bare client | the same interpreter with the same runtime client and handler, started as a plain process without a box, against a Runtime API that does only what one process needs |
| bare loop | bare clients behind a plain HTTP front of a thread per connection, without signatures, logs, limits and state: nobody can be faster with that runtime client |
| bare interpreter | `python3 -c pass`, `node -e 0`: no function at all |
| emulator | AWS's Runtime Interface Emulator as PyPI's `aws-sam-cli` ships it, with AWS's own Python client; it takes one request at a time |
| serverless-offline | the plugin of the Serverless Framework, from npm, with the same handlers and interpreters: no box, no signatures |
| MiniStack | an emulator of AWS in Python, from PyPI, which keeps everything in memory and checks no signature |
| pools off | our own server with every switch off for what is made ahead (images of processes, boxes, waiting workers) |
";

/// A scenario on the page.
pub(super) struct Section {
    pub(super) scenario: &'static str,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) plots: &'static [Plot],
}

/// Every kind.
const WARM: &[&str] = &[];
/// Functions that start fast, and functions whose imports take longer than all else.
const HELLOS: &[&str] = &["Python", "Node.js", "native"];
const IMPORTS: &[&str] =
    &["Python, boto3", "Python, host's boto3", "Python, numpy + pandas", "Node.js, AWS SDK"];

pub(super) const SECTIONS: [Section; 19] = [
    Section {
        scenario: "warm-1",
        title: "Warm invokes, one client",
        text: "`warm-1`: signed requests one after the other on one connection, a handler that answers at once. A \
               forged signature is tried first and must be refused.",
        plots: &[Plot {
            name: "warm-1",
            title: "Warm invokes, one client",
            shown: Shown::Bars { scenarios: &["warm-1"], measure: "rate", groups: WARM },
        }],
    },
    Section {
        scenario: "warm-16",
        title: "Warm invokes, 16 clients",
        text: "`warm-16`: the same from 16 connections at once. The emulator is not here: it does not bear two \
               requests at a time.",
        plots: &[Plot {
            name: "warm-16",
            title: "Warm invokes, 16 clients",
            shown: Shown::Bars { scenarios: &["warm-16"], measure: "rate", groups: WARM },
        }],
    },
    Section {
        scenario: "cold",
        title: "Cold starts",
        text: "`cold`: from the request to the answer when the function has no environment. Before each start the \
               function's configuration is changed, so that nothing that runs may serve it, and the server is left \
               alone until it does nothing, as before a function that nobody has called for a while. Its records must \
               say that the start was cold. The first start after the server's own is not counted. Python packages \
               hold byte code, as `pip install --target` makes it; the JavaScript SDK is bundled into one file. \
               `host's boto3` is the SDK of the host's Python instead of the package's.",
        plots: &[
            Plot {
                name: "cold",
                title: "Cold start to first answer, median",
                shown: Shown::Bars { scenarios: &["cold"], measure: "p50", groups: HELLOS },
            },
            Plot {
                name: "cold-imports",
                title: "Cold start with large imports, median",
                shown: Shown::Bars { scenarios: &["cold", "snapstart"], measure: "p50", groups: IMPORTS },
            },
        ],
    },
    Section {
        scenario: "snapstart",
        title: "Cold starts with SnapStart",
        text: "`snapstart`: the same for a published version with SnapStart. Before each start the server's clock is \
               moved on by eleven minutes, so that idle environments go; the REPORT line must tell a restore.",
        plots: &[],
    },
    Section {
        scenario: "burst-50",
        title: "A burst of 50",
        text: "`burst-50`: 50 requests at once for a handler that takes 200 ms, from the first request to the last \
               answer, nothing warm; and again, when all is warm. Every answer tells its environment and log stream: \
               so many sandboxes there were, and as many boxes must be among the processes. serverless-offline is started anew for each round.",
        plots: &[Plot {
            name: "burst-50",
            title: "50 requests of 200 ms at once, all done",
            shown: Shown::Bars {
                scenarios: &["burst-50"],
                measure: "",
                groups: &["50 at once, nothing warm", "50 at once, all warm"],
            },
        }],
    },
    Section { scenario: "burst-8", title: "A burst of 8", text: "`burst-8`: the same with 8.", plots: &[] },
    Section {
        scenario: "scale-200",
        title: "From 1 to 200 clients",
        text: "`scale-200`: clients join evenly over four seconds until 200 call a handler that takes 100 ms, each \
               again and again. Nobody waits from when on, for half a second, 19 of 20 answers come within 150 ms.",
        plots: &[Plot {
            name: "scale-200",
            title: "200 clients join over four seconds: the slowest of 20 answers",
            shown: Shown::Lines { scenario: "scale-200" },
        }],
    },
    Section {
        scenario: "idle-density",
        title: "Idle environments",
        text: "`idle-density`: environments of as many functions, each of which has served one request. *All \
               processes* are the proportional set sizes of the boxes' processes, the server and its helper: a page \
               that n processes share counts as 1/n for each. *The kernel's own* is what `/proc/meminfo` tells of \
               structures, page tables, stacks and per-processor memory, *less memory available* what it tells of \
               all; both see the rest of the machine, too. The number for 1,000 is the server's memory before, and \
               1,000 times processes and kernel.",
        plots: &[Plot {
            name: "idle-density",
            title: "Memory of idle environments",
            shown: Shown::Lines { scenario: "idle-density" },
        }],
    },
    Section {
        scenario: "idle-density-1000",
        title: "1,000 idle environments",
        text: "`idle-density-1000`: the real thousand, on request only.",
        plots: &[Plot {
            name: "idle-density-1000",
            title: "Memory of idle environments",
            shown: Shown::Lines { scenario: "idle-density-1000" },
        }],
    },
    Section {
        scenario: "start-up",
        title: "The server's start",
        text: "`start-up`: from the start of the process to a health check's answer, and to a signed ListFunctions; \
               memory of the server and its helper after a second. With a fresh data folder, and with one of 100 \
               functions.",
        plots: &[],
    },
    Section {
        scenario: "watch",
        title: "Save to deployed",
        text: "`watch`: `lamplighter run DIR --watch`, from the save of a file to the function's new hash.",
        plots: &[],
    },
    Section {
        scenario: "streaming",
        title: "Response streaming",
        text: "`streaming`: the handler sends its reading of the machine's steady clock, and the client takes its own \
               when that arrives; then 100 MB.",
        plots: &[],
    },
    Section {
        scenario: "async",
        title: "Asynchronous invokes",
        text: "`async`: events from 16 clients, each on disk before its 202, beside what the disk could do with 16 in \
               every sync; then how fast one function with ten environments works them off, beside ten clients that \
               wait.",
        plots: &[],
    },
    Section {
        scenario: "provisioned-burst",
        title: "Provisioned concurrency",
        text: "`provisioned-burst`: 20 requests of 200 ms at once for 20 provisioned environments, and for none.",
        plots: &[],
    },
    Section {
        scenario: "queue",
        title: "Queues: send, receive, delete",
        text: "`queue`: 16 clients at one queue, each sends a message of 100 characters, receives one and deletes it, \
               again and again, every request signed. With us each message and each deletion is on disk before its \
               answer; *all 16 in every sync* is what the disk would allow if every sync served all clients.",
        plots: &[Plot {
            name: "queue",
            title: "Send, receive and delete, 16 clients",
            shown: Shown::Bars { scenarios: &["queue"], measure: "cycles, 16 clients, durable", groups: &[] },
        }],
    },
    Section {
        scenario: "queue-million",
        title: "A million messages in a queue",
        text: "`queue-million`: receiving from a queue with a million messages and from one with a thousand, in turns; \
               what is received is deleted and sent again. Then how long a server takes that starts with them.",
        plots: &[],
    },
    Section {
        scenario: "queue-idle",
        title: "Ten thousand idle queues",
        text: "`queue-idle`: what queues cost that nobody uses, beside a server without any.",
        plots: &[],
    },
    Section {
        scenario: "fan-out",
        title: "Fan-out",
        text: "`fan-out`: one publish to a topic with a hundred queues. Every queue must hold every message at the end. \
               Syncs of the disk are counted with `strace`.",
        plots: &[],
    },
    Section {
        scenario: "queue-to-handler",
        title: "From a queue to its function",
        text: "`queue-to-handler`: from just before a message is sent, on disk, to the start of the handler that an \
               event source mapping calls with it, by one clock. Messages come one by one; the function is warm.",
        plots: &[],
    },
];

pub(super) const END: &str = "
## How to run it

```
cargo xtask bench                          # everything
cargo xtask bench warm-1 cold --repeats 5  # some scenarios, more rounds
cargo xtask bench --quick                  # a first look: one short round
cargo xtask bench idle-density --environments 1000
cargo xtask bench --binary FILE            # another server, as it is; nothing is built
cargo xtask bench --json numbers.json      # for programs
cargo xtask bench --from numbers.json --write-docs   # this page from an earlier run
```

What the references and the functions need comes from PyPI and npm in pinned versions, once, into the cache folder
(`$LAMPLIGHTER_CACHE`, else `~/.cache/lamplighter`). What cannot be installed is left out with a note, and the rest is
measured. It needs `python3` with pip and venv, `node`, `npm`, and the rights that boxes need. Leave the machine alone
meanwhile.

## The JSON

[`performance/numbers.json`](performance/numbers.json) is the run that this page shows.

| member | meaning |
| --- | --- |
| `schema` | the version of this form: 2 |
| `measured_at_ms`, `took_s` | the beginning (Unix time), the length |
| `version` | what the server says of itself, and the commit of the checkout |
| `machine` | `processors`, `processor`, `memory_mib`, `kernel` |
| `repeats`, `is_quick`, `is_optimised` | rounds; whether they were short; whether the load client was compiled with optimisation |
| `load_before`, `load_after` | the system's load over a minute |
| `rows` | the numbers: `scenario`, `measure`, `unit`, `ours`; with a reference `versus` (its name), `reference`, `ratio`; with a promise `promise`, `is_met`; and each round in `rounds` and `reference_rounds` |
| `series` | courses for plots: `scenario`, `name`, `axes`, `points` |
| `notes` | what was not available: `scenario`, `text` |
| `failures` | scenarios that ended with an error; they have no rows |
";
