//! IP addresses in patterns: CIDR blocks of both families.

use std::net::IpAddr;

/// The addresses of one family from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    is_v4: bool,
    first: u128,
    last: u128,
}

impl Block {
    /// Reads `10.0.0.0/24`. As in AWS's own engine a block begins at the address that is written.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without a place.
    pub(crate) fn parse(text: &str) -> Result<Block, String> {
        let Some((address, bits)) = text.split_once('/').filter(|(_, bits)| !bits.contains('/')) else {
            return Err("Malformed CIDR, one '/' required".to_owned());
        };
        let bits: i32 =
            bits.parse().map_err(|_| "Malformed CIDR, mask bits must be an integer".to_owned())?;
        let bits =
            u32::try_from(bits).map_err(|_| "Malformed CIDR, mask bits must not be negative".to_owned())?;
        let parsed: IpAddr = address.parse().map_err(|_| format!("Nonstandard IP address: {address}"))?;
        let (is_v4, first) = number(parsed);
        let width = if is_v4 { 32 } else { 128 };
        if bits >= width {
            let family = if is_v4 { "IPv4" } else { "IPv6" };
            return Err(format!("{family} mask bits must be < {width}"));
        }
        let below = width - bits;
        let host_bits = if below == 128 { u128::MAX } else { (1u128 << below) - 1 };
        Ok(Block { is_v4, first, last: first | host_bits })
    }

    /// The block of one address, if the text is one.
    pub(crate) fn single(text: &str) -> Option<Block> {
        let (is_v4, first) = number(text.parse().ok()?);
        Some(Block { is_v4, first, last: first })
    }

    /// Whether the text is an address of the block.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let (is_v4, address) = number(address);
        is_v4 == self.is_v4 && (self.first..=self.last).contains(&address)
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (true, u128::from(u32::from(address))),
        IpAddr::V6(address) => (false, u128::from(address)),
    }
}
