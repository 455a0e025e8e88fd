//! Access points: folders of the host that functions may be given, by the names that file systems have on AWS.
//!
//! Which folder an access point is, the operator says when the server starts (`--access-point fsap-...=/folder`); a
//! function names the access point by its ARN. What is in the folder is the operator's: it is neither copied nor removed.
//!
//! Members: <https://docs.aws.amazon.com/lambda/latest/api/API_FileSystemConfig.html>. Unlike AWS there is no VPC.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::Arn;

use crate::error::LambdaError;
use crate::function::HostFolder;
use crate::name::Target;
use crate::record::FileSystemRecord;

/// Host folders by access point id (`fsap-` and 17 hexadecimal digits).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPoints(pub BTreeMap<String, PathBuf>);

impl AccessPoints {
    /// What a request asks for, when this server has it.
    ///
    /// # Errors
    /// An access point that this server, account or region does not have; a path that is none.
    pub(crate) fn choose(
        &self,
        target: &Target,
        wanted: Vec<FileSystemRecord>,
    ) -> Result<Vec<FileSystemRecord>, LambdaError> {
        for one in &wanted {
            let name = one.local_mount_path.trim_start_matches("/mnt/");
            if name == "." || name == ".." {
                return Err(LambdaError::InvalidParameter(format!(
                    "LocalMountPath {} is not a folder below /mnt.",
                    one.local_mount_path
                )));
            }
            let arn = one.arn.parse::<Arn>().ok().filter(|arn| {
                arn.service == "elasticfilesystem"
                    && arn.region == target.region.as_str()
                    && arn.account == target.account.to_string()
            });
            if arn.is_none_or(|_| self.folder(&one.arn).is_none()) {
                return Err(LambdaError::InvalidParameter(format!(
                    "EFS access point {} does not exist. Access points are folders of this host: start the server with \
                     --access-point {}=/path/of/a/folder, and name it with account {} and region {}.",
                    one.arn,
                    id_of(&one.arn),
                    target.account,
                    target.region
                )));
            }
        }
        Ok(wanted)
    }

    /// The folders of a function.
    ///
    /// # Errors
    /// `EFSMountFailureException` when the server was started without one of them.
    pub(crate) fn folders(&self, records: &[FileSystemRecord]) -> Result<Vec<HostFolder>, LambdaError> {
        let folder = |record: &FileSystemRecord| {
            let host = self.folder(&record.arn).ok_or_else(|| {
                LambdaError::EfsMountFailure(format!(
                    "The function couldn't mount the EFS access point {}: this server was started without \
                     --access-point {}=/path/of/a/folder.",
                    record.arn,
                    id_of(&record.arn)
                ))
            })?;
            Ok(HostFolder { host: host.clone(), inside: PathBuf::from(&record.local_mount_path) })
        };
        records.iter().map(folder).collect()
    }

    fn folder(&self, arn: &str) -> Option<&PathBuf> {
        self.0.get(id_of(arn))
    }
}

fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    fn choose(arn: &str, path: &str) -> Result<Vec<HostFolder>, String> {
        let points = AccessPoints([("fsap-0123456789abcdef0".to_owned(), PathBuf::from("/srv"))].into());
        let target = Target {
            account: AccountId::DEFAULT,
            region: Region::default(),
            name: "f".into(),
            qualifier: None,
        };
        let record = FileSystemRecord { arn: arn.to_owned(), local_mount_path: path.to_owned() };
        let chosen = points.choose(&target, vec![record]).map_err(|error| error.to_string())?;
        points.folders(&chosen).map_err(|error| error.to_string())
    }

    #[test]
    fn an_access_point_is_a_folder_of_this_host() {
        let arn = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0";
        let folder = HostFolder { host: "/srv".into(), inside: "/mnt/data".into() };
        assert_eq!(choose(arn, "/mnt/data"), Ok(vec![folder]));
        assert!(choose(arn, "/mnt/..").is_err());
        for other in [
            arn.replace("def0", "def1"),
            arn.replace("us-east-1", "eu-west-1"),
            arn.replace(":0000", ":1000"),
        ] {
            assert!(choose(&other, "/mnt/data").unwrap_err().contains("--access-point fsap-"), "{other}");
        }
        let gone = FileSystemRecord { arn: arn.to_owned(), local_mount_path: "/mnt/data".to_owned() };
        assert!(matches!(AccessPoints::default().folders(&[gone]), Err(LambdaError::EfsMountFailure(_))));
    }
}
