//! The names of layers: `tools` or `arn:aws:lambda:us-east-1:000000000000:layer:tools`, and with `:7` at the end a
//! version of it.
//!
//! The API model's patterns were checked before; this reads what they let through.

use std::fmt;

use base::{AccountId, Arn, Region};

use crate::error::LambdaError;
use crate::keys::Space;

/// A layer that may exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerId {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    /// 1 to 140 characters.
    pub(crate) name: String,
}

impl LayerId {
    /// Reads a `LayerName`, which may be an ARN. A plain name is one of the given account and region.
    ///
    /// # Errors
    /// A layer of another region, or no layer's name at all.
    pub(crate) fn parse(text: &str, account: AccountId, region: &Region) -> Result<Self, LambdaError> {
        if !text.starts_with("arn:") {
            return Ok(LayerId { account, region: region.clone(), name: text.to_owned() });
        }
        let wrong = || {
            let pattern = "Member must satisfy regular expression pattern: \
                           (arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+";
            LambdaError::constraint(text, "layerName", pattern)
        };
        let layer = read(text).filter(|(_, number)| number.is_none()).ok_or_else(wrong)?.0;
        if layer.region != *region {
            return Err(LambdaError::NotFound(format!(
                "Layers from '{}' are not reachable in this region ('{region}')",
                layer.region
            )));
        }
        Ok(layer)
    }

    /// The same layer's version of this number.
    ///
    /// # Errors
    /// A number below 1.
    pub(crate) fn version(self, number: i64) -> Result<LayerVersionId, LambdaError> {
        match u64::try_from(number) {
            Ok(number) if number > 0 => Ok(LayerVersionId { layer: self, number }),
            _ => Err(LambdaError::InvalidParameter("Layer Version Cannot be less than 1.".to_owned())),
        }
    }

    /// The account and region of the layer.
    pub(crate) fn space(&self) -> Space {
        Space::new(self.account, &self.region)
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:lambda:{}:{}:layer:{}", self.region, self.account, self.name)
    }
}

/// A version of a layer that may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerVersionId {
    pub(crate) layer: LayerId,
    pub(crate) number: u64,
}

impl LayerVersionId {
    /// Reads a layer version's ARN. `None`: a layer of AWS itself (`awslayer`), or no such ARN.
    pub(crate) fn parse(arn: &str) -> Option<Self> {
        let (layer, number) = read(arn)?;
        Some(LayerVersionId { layer, number: number? })
    }

    /// AWS's words where one names it that is not there.
    pub(crate) fn does_not_exist(&self) -> String {
        format!("Layer version {self} does not exist.")
    }
}

impl fmt::Display for LayerVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layer, self.number)
    }
}

fn read(arn: &str) -> Option<(LayerId, Option<u64>)> {
    let arn: Arn = arn.parse().ok()?;
    let resource = arn.resource.strip_prefix("layer:")?;
    let (name, number) = match resource.split_once(':') {
        Some((name, number)) => (name, Some(number.parse().ok()?)),
        None => (resource, None),
    };
    if arn.service != "lambda" || name.is_empty() {
        return None;
    }
    let layer = LayerId {
        account: arn.account.parse().ok()?,
        region: arn.region.parse().ok()?,
        name: name.to_owned(),
    };
    Some((layer, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_name_the_same_layer() {
        let region = Region::default();
        let arn = "arn:aws:lambda:us-east-1:000000000000:layer:tools";
        for text in ["tools", arn] {
            let layer = LayerId::parse(text, AccountId::DEFAULT, &region).unwrap();
            assert_eq!(layer.to_string(), arn);
            let version = layer.version(7).unwrap();
            assert_eq!(version.to_string(), format!("{arn}:7"));
            assert_eq!(LayerVersionId::parse(&version.to_string()), Some(version));
        }
        for not_a_version in
            [arn, "tools", "arn:aws:lambda:::awslayer:x", "arn:aws:lambda:us-east-1:1:layer:x:1"]
        {
            assert_eq!(LayerVersionId::parse(not_a_version), None, "{not_a_version}");
        }
        let elsewhere = "arn:aws:lambda:eu-west-1:000000000000:layer:tools";
        assert!(matches!(
            LayerId::parse(elsewhere, AccountId::DEFAULT, &region),
            Err(LambdaError::NotFound(why)) if why.contains("eu-west-1")
        ));
    }
}
