//! What `mknod` makes, and the device numbers that no case can go beyond.

use serde::{Deserialize, Serialize};

/// Kind of node for `mknod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Special {
    /// A regular file (`S_IFREG`).
    Regular,
    /// A fifo.
    Fifo,
    /// A socket (a name only; nothing listens).
    Socket,
    /// A character device; only [`Device`]s of the harmless list.
    Char(Device),
    /// A block device; only [`Device`]s of the harmless list.
    Block(Device),
}

/// A device number from the list of those that can do no harm: 1:3 (null), 1:5 (zero), 1:7 (full),
/// 0:0, and 0:n which no driver owns.
///
/// The type cannot hold any other number, so no case, however it came to be, can name a real device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Device {
    major: u32,
    minor: u32,
}

/// A device number outside the harmless list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device {major}:{minor} is not on the harmless list (1:3, 1:5, 1:7, 0:0 to 0:255)")]
pub struct ForbiddenDevice {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

impl Device {
    /// 0:0, which as a character device is the whiteout.
    pub const WHITEOUT: Device = Device { major: 0, minor: 0 };
    /// 1:3, `/dev/null`.
    pub const NULL: Device = Device { major: 1, minor: 3 };
    /// 1:5, `/dev/zero`.
    pub const ZERO: Device = Device { major: 1, minor: 5 };
    /// 1:7, `/dev/full`.
    pub const FULL: Device = Device { major: 1, minor: 7 };

    /// The device, if it is on the list.
    pub fn new(major: u32, minor: u32) -> Result<Device, ForbiddenDevice> {
        match (major, minor) {
            (1, 3 | 5 | 7) | (0, 0..=255) => Ok(Device { major, minor }),
            _ => Err(ForbiddenDevice { major, minor }),
        }
    }

    /// Its major number.
    pub fn major(self) -> u32 {
        self.major
    }

    /// Its minor number.
    pub fn minor(self) -> u32 {
        self.minor
    }
}

/// Reading goes through [`Device::new`]: no encoding can smuggle another number in.
impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            major: u32,
            minor: u32,
        }
        let raw = Raw::deserialize(d)?;
        Device::new(raw.major, raw.minor).map_err(serde::de::Error::custom)
    }
}
