//! Where a request has its code from: a zip in the request, and nothing else yet.

use bytes::Bytes;

use crate::error::LambdaError;
use crate::function::Architecture;

/// The members of CreateFunction's `Code` and of UpdateFunctionCode, which has them at its top.
pub(crate) struct Source<'a> {
    pub(crate) operation: &'static str,
    pub(crate) zip_file: Option<wire::Blob>,
    pub(crate) s3_bucket: Option<&'a str>,
    pub(crate) s3_key: Option<&'a str>,
    pub(crate) s3_object_version: Option<&'a str>,
    pub(crate) image_uri: Option<&'a str>,
}

impl Source<'_> {
    /// The zip.
    ///
    /// # Errors
    /// Two sources or none, in AWS's words; S3 and images by name.
    pub(crate) fn zip(self) -> Result<Bytes, LambdaError> {
        let s3 = self.s3_bucket.or(self.s3_key).or(self.s3_object_version);
        let unsupported = |parameter, why: &str| LambdaError::Unsupported {
            parameter,
            operation: self.operation,
            why: why.to_owned(),
        };
        match (self.zip_file, s3, self.image_uri) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(LambdaError::InvalidParameter(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.".to_owned(),
            )),
            (Some(zip), None, None) => Ok(zip.0),
            (None, _, Some(_)) => Err(unsupported("ImageUri", "functions come from .zip packages only")),
            (None, Some(_), None) => Err(unsupported("S3Bucket", "send the package in ZipFile, up to 50 MB")),
            (None, None, None) => {
                Err(LambdaError::InvalidParameter("Please provide a source for function code.".to_owned()))
            }
        }
    }
}

/// The architecture that a request asks for, if it does.
///
/// # Errors
/// Another one than this host's: its code could not run here.
pub(crate) fn architecture(
    operation: &'static str,
    architectures: Option<&[String]>,
) -> Result<Option<Architecture>, LambdaError> {
    let Some(name) = architectures.and_then(<[String]>::first) else { return Ok(None) };
    let host = Architecture::host();
    match Architecture::parse(name) {
        Some(architecture) if architecture == host => Ok(Some(architecture)),
        _ => Err(LambdaError::Unsupported {
            parameter: "Architectures",
            operation,
            why: format!("this host runs {} functions only, not {name}", host.as_str()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source<'static> {
        Source {
            operation: "CreateFunction",
            zip_file: None,
            s3_bucket: None,
            s3_key: None,
            s3_object_version: None,
            image_uri: None,
        }
    }

    #[test]
    fn one_source_and_a_zip() {
        let zip = || Some(wire::Blob(Bytes::from_static(b"zip")));
        assert_eq!(Source { zip_file: zip(), ..source() }.zip().unwrap(), "zip");
        let refusal = |source: Source<'_>| source.zip().unwrap_err().to_string();
        assert_eq!(refusal(source()), "Please provide a source for function code.");
        assert_eq!(
            refusal(Source { zip_file: zip(), s3_bucket: Some("b"), ..source() }),
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        );
        assert!(refusal(Source { s3_bucket: Some("b"), ..source() }).contains("S3Bucket"));
        assert!(refusal(Source { image_uri: Some("i"), ..source() }).contains("ImageUri"));
    }

    #[test]
    fn only_this_hosts_architecture() {
        let host = Architecture::host();
        let other = if host == Architecture::X86_64 { "arm64" } else { "x86_64" };
        assert_eq!(architecture("CreateFunction", None).unwrap(), None);
        assert_eq!(architecture("CreateFunction", Some(&[host.as_str().to_owned()])).unwrap(), Some(host));
        assert!(
            architecture("CreateFunction", Some(&[other.to_owned()]))
                .unwrap_err()
                .to_string()
                .contains(other)
        );
    }
}
