//! The forms of a function URL's address.
//!
//! - `http://<id>.lambda-url.<region>.localhost:<port>/<path>`: what the API shows. Names below `localhost` are the
//!   machine itself for browsers, curl and most resolvers; inside a box too.
//! - `http://<id>.lambda-url.<region>.on.aws/<path>`: AWS's own, for clients that resolve it to the platform.
//! - `http://<any host of the platform>/_url/<id>/<path>`: for clients that cannot resolve the others. The function sees
//!   `/<path>`.

use base::Region;
use gateway::host_of;
use http::request::Parts;

use super::record::ID_CHARS;

/// Where the path form begins.
const PATH_PREFIX: &str = "/_url/";
const LABEL: &str = "lambda-url";

/// An address as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) id: String,
    /// The region of the host name; the path form has none.
    pub(crate) region: Option<String>,
    /// Where the function's own path begins in the request's path.
    pub(crate) path_from: usize,
}

impl Address {
    /// The address of a function URL, if the request is for one, by the shape of its host or path.
    pub(crate) fn of(head: &Parts) -> Option<Address> {
        if let Some(rest) = head.uri.path().strip_prefix(PATH_PREFIX) {
            let id = rest.split('/').next().filter(|id| is_id(id))?;
            let path_from = PATH_PREFIX.len() + id.len();
            return Some(Address { id: id.to_owned(), region: None, path_from });
        }
        let host = host_of(head)?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let mut labels = name.splitn(4, '.');
        let (id, label, region, rest) = (labels.next()?, labels.next()?, labels.next()?, labels.next()?);
        let ours = rest.eq_ignore_ascii_case("localhost") || rest.eq_ignore_ascii_case("on.aws");
        if !label.eq_ignore_ascii_case(LABEL) || !ours {
            return None;
        }
        Some(Address { id: id.to_ascii_lowercase(), region: Some(region.to_ascii_lowercase()), path_from: 0 })
    }

    /// The path as the function shall see it.
    pub(crate) fn path<'a>(&self, path: &'a str) -> &'a str {
        match path.get(self.path_from..) {
            Some("") | None => "/",
            Some(path) => path,
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The host name of a URL, without a port.
pub(crate) fn host_name(id: &str, region: &Region) -> String {
    format!("{id}.{LABEL}.{region}.localhost")
}

/// The URL as the API shows it.
pub(crate) fn url(id: &str, region: &Region, port: u16) -> String {
    match port {
        80 => format!("http://{}/", host_name(id, region)),
        port => format!("http://{}:{port}/", host_name(id, region)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxyz012345";

    fn address(host: &str, target: &str) -> Option<Address> {
        let (head, ()) =
            http::Request::builder().uri(target).header("host", host).body(()).unwrap().into_parts();
        Address::of(&head)
    }

    #[test]
    fn hosts_and_paths_lead_to_the_same_id() {
        for host in ["localhost:4566", "LOCALHOST", "on.aws"] {
            let found = address(&format!("{ID}.lambda-url.us-east-1.{host}"), "/a/b").unwrap();
            assert_eq!((found.id.as_str(), found.region.as_deref()), (ID, Some("us-east-1")));
            assert_eq!(found.path("/a/b"), "/a/b");
        }
        let found = address("127.0.0.1:4566", &format!("/_url/{ID}/a/b?c")).unwrap();
        assert_eq!((found.id.as_str(), found.region.as_deref()), (ID, None));
        assert_eq!(found.path(&format!("/_url/{ID}/a/b")), "/a/b");
        let bare = format!("/_url/{ID}");
        assert_eq!(address("localhost", &bare).unwrap().path(&bare), "/");
    }

    #[test]
    fn other_addresses_are_left_alone() {
        for (host, target) in [
            ("localhost", "/"),
            ("localhost", "/_url/short/x"),
            ("localhost", "/2015-03-31/functions/"),
            ("x.lambda-url.us-east-1.example.com", "/"),
            ("x.lambda-url.us-east-1.localhost.example.com", "/"),
            ("x.s3.us-east-1.localhost", "/"),
            ("lambda.us-east-1.amazonaws.com", "/"),
        ] {
            assert_eq!(address(host, target), None, "{host} {target}");
        }
    }

    #[test]
    fn a_url_names_its_port() {
        let region = Region::default();
        assert_eq!(url(ID, &region, 4566), format!("http://{ID}.lambda-url.us-east-1.localhost:4566/"));
        assert_eq!(url(ID, &region, 80), format!("http://{ID}.lambda-url.us-east-1.localhost/"));
    }
}
