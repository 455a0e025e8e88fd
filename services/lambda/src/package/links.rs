//! Where a package's symbolic links lead, followed on paper.
//!
//! A link may point anywhere inside the package, through other links too. One that would leave it, or is absolute,
//! is refused. A link to nothing is fine: it may point at what a build step left out.
//!
//! It touches no file system.

use std::collections::{BTreeMap, VecDeque};

/// Linux follows this many links in one path and no more.
const MAX_FOLLOWED: usize = 40;
/// Path parts looked at for all links together, so that hostile chains cost milliseconds, not minutes.
const MAX_STEPS: usize = 2_000_000;

/// Checks all links of a package: path inside the package to target.
///
/// # Errors
/// The first link that is not fine, and what is wrong with it.
pub(super) fn check(links: &BTreeMap<String, String>) -> Result<(), (String, &'static str)> {
    let mut steps_left = MAX_STEPS;
    for path in links.keys() {
        match follow(links, path, &mut steps_left) {
            Verdict::Inside => {}
            Verdict::Outside => return Err((path.clone(), "is a symbolic link that leaves the package")),
            Verdict::TooCostly => return Err((path.clone(), "is in too long a chain of symbolic links")),
        }
    }
    Ok(())
}

enum Verdict {
    Inside,
    Outside,
    TooCostly,
}

fn follow(links: &BTreeMap<String, String>, path: &str, steps_left: &mut usize) -> Verdict {
    let mut todo: VecDeque<&str> = path.split('/').collect();
    // The path walked so far, and where each of its parts began.
    let mut walked = String::new();
    let mut starts: Vec<usize> = Vec::new();
    let mut followed = 0;
    while let Some(part) = todo.pop_front() {
        *steps_left = match steps_left.checked_sub(1) {
            Some(left) => left,
            None => return Verdict::TooCostly,
        };
        match part {
            "" | "." => continue,
            ".." => match starts.pop() {
                Some(start) => walked.truncate(start),
                None => return Verdict::Outside,
            },
            part => {
                starts.push(walked.len());
                if !walked.is_empty() {
                    walked.push('/');
                }
                walked.push_str(part);
                let Some(target) = links.get(&walked) else { continue };
                if target.starts_with('/') {
                    return Verdict::Outside;
                }
                followed += 1;
                if followed > MAX_FOLLOWED {
                    // The kernel gives up here too: the link leads nowhere.
                    return Verdict::Inside;
                }
                if let Some(start) = starts.pop() {
                    walked.truncate(start);
                }
                for part in target.split('/').rev() {
                    todo.push_front(part);
                }
            }
        }
    }
    Verdict::Inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(links: &[(&str, &str)]) -> Result<(), String> {
        let links = links.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect();
        check(&links).map_err(|(path, _)| path)
    }

    #[test]
    fn links_inside_are_fine() {
        assert_eq!(verdict(&[("bin/tool", "../lib/tool")]), Ok(()));
        assert_eq!(verdict(&[("a", "b"), ("b", "c"), ("d/e", "../a")]), Ok(()));
        assert_eq!(verdict(&[("a", "not/there")]), Ok(()));
        assert_eq!(verdict(&[("here", ".")]), Ok(()));
    }

    #[test]
    fn a_link_that_leaves_is_found_wherever_it_turns() {
        assert_eq!(verdict(&[("a", "..")]), Err("a".to_owned()));
        assert_eq!(verdict(&[("a/b", "../../etc/passwd")]), Err("a/b".to_owned()));
        assert_eq!(verdict(&[("a", "/etc/passwd")]), Err("a".to_owned()));
        // By its text `z` stays inside (d/l/.. is d), but d/l is the root itself.
        assert_eq!(verdict(&[("d/l", ".."), ("z", "d/l/..")]), Err("z".to_owned()));
    }

    #[test]
    fn loops_end() {
        assert_eq!(verdict(&[("a", "b"), ("b", "a")]), Ok(()));
        assert_eq!(verdict(&[("a", "a/x")]), Ok(()));
    }

    #[test]
    fn a_costly_maze_is_refused() {
        let long = "x/../".repeat(200);
        let links = (0..20_000).map(|n| (format!("l{n:05}"), format!("{long}l{:05}", n + 1))).collect();
        assert!(check(&links).is_err());
    }
}
