//! POSIX access control lists: the form that the kernel keeps in xattrs, the form that a case writes, and what
//! an entry grants (`fs/posix_acl.c`).

use std::fmt;
use std::str::FromStr;

use crate::bytes::Bytes;
use crate::errno::Errno;

/// Version of the form in xattrs (`POSIX_ACL_XATTR_VERSION`).
const VERSION: [u8; 4] = [2, 0, 0, 0];
/// What stands for the id of an entry that has none (`ACL_UNDEFINED_ID`).
const NO_ID: u32 = u32::MAX;

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides who may do what.
    Access,
    /// What is made in a directory takes it.
    Default,
}

impl Role {
    /// The list that an xattr of this name holds.
    pub fn of(name: &[u8]) -> Option<Role> {
        [Role::Access, Role::Default].into_iter().find(|role| role.xattr().as_bytes() == name)
    }

    /// The name of the xattr that holds it.
    pub fn xattr(self) -> &'static str {
        match self {
            Role::Access => "system.posix_acl_access",
            Role::Default => "system.posix_acl_default",
        }
    }

    /// The name of the xattr under which XFS lists it besides.
    pub fn xfs_xattr(self) -> &'static str {
        match self {
            Role::Access => "trusted.SGI_ACL_FILE",
            Role::Default => "trusted.SGI_ACL_DEFAULT",
        }
    }
}

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The owner.
    Owner,
    /// A user.
    User(u32),
    /// The owning group.
    OwningGroup,
    /// A group.
    Group(u32),
    /// Most that users, groups and the owning group are granted.
    Mask,
    /// Everybody else.
    Other,
}

impl Tag {
    /// Its number in the xattr, and the id.
    fn numbers(self) -> (u16, u32) {
        match self {
            Tag::Owner => (0x01, NO_ID),
            Tag::User(id) => (0x02, id),
            Tag::OwningGroup => (0x04, NO_ID),
            Tag::Group(id) => (0x08, id),
            Tag::Mask => (0x10, NO_ID),
            Tag::Other => (0x20, NO_ID),
        }
    }
}

/// An entry: whom it is about, and the permissions, of which only the lowest three bits are any.
pub type Entry = (Tag, u16);

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(pub Vec<Entry>);

impl Acl {
    /// Reads the value of an xattr; a header without entries is no list (`posix_acl_from_xattr`).
    ///
    /// # Errors
    /// EINVAL and EOPNOTSUPP (of the version), as the kernel gives them.
    pub fn decode(value: &[u8], is_mapped: impl Fn(u32) -> bool) -> Result<Option<Acl>, Errno> {
        let Some((version, entries)) = value.split_first_chunk::<4>() else { return Err(Errno::EINVAL) };
        if *version != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (entries, rest) = entries.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        let entry = |&[t0, t1, p0, p1, i0, i1, i2, i3]: &[u8; 8]| {
            let id = u32::from_le_bytes([i0, i1, i2, i3]);
            let tag = match u16::from_le_bytes([t0, t1]) {
                0x01 => Tag::Owner,
                0x02 if id != NO_ID && is_mapped(id) => Tag::User(id),
                0x04 => Tag::OwningGroup,
                0x08 if id != NO_ID && is_mapped(id) => Tag::Group(id),
                0x10 => Tag::Mask,
                0x20 => Tag::Other,
                _ => return Err(Errno::EINVAL),
            };
            Ok((tag, u16::from_le_bytes([p0, p1])))
        };
        let entries = entries.iter().map(entry).collect::<Result<Vec<Entry>, Errno>>()?;
        Ok((!entries.is_empty()).then_some(Acl(entries)))
    }

    /// The value of the xattr (`posix_acl_to_xattr`).
    pub fn encode(&self) -> Bytes {
        let mut out = VERSION.to_vec();
        for (tag, granted) in &self.0 {
            let (number, id) = tag.numbers();
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&granted.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        Bytes::from(out)
    }

    /// The value of the xattr that XFS keeps and lists besides (`xfs_acl_to_disk`).
    pub fn encode_for_xfs(&self) -> Bytes {
        let mut out = (self.0.len() as u32).to_be_bytes().to_vec();
        for (tag, granted) in &self.0 {
            let (number, id) = tag.numbers();
            out.extend_from_slice(&u32::from(number).to_be_bytes());
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&granted.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Bytes::from(out)
    }

    /// The list that a value is exactly the form of, if a case can write it.
    pub fn written(value: &Bytes) -> Option<Acl> {
        let acl = Acl::decode(value.as_slice(), |_| true).ok()??;
        (acl.encode() == *value && acl.0.iter().all(|(_, granted)| *granted <= 7)).then_some(acl)
    }

    /// Whether its entries are in order, none missing and none too many (`posix_acl_valid`).
    pub fn is_valid(&self) -> bool {
        // What may come next: owner and users, groups, other, nothing.
        let (mut at, mut named) = (0, false);
        for (tag, granted) in &self.0 {
            at = match (tag, at) {
                (Tag::Owner, 0) => 1,
                (Tag::User(_), 1) | (Tag::Group(_), 2) => {
                    named = true;
                    at
                }
                (Tag::OwningGroup, 1) => 2,
                (Tag::Mask, 2) => 3,
                (Tag::Other, 3) => 4,
                (Tag::Other, 2) if !named => 4,
                _ => return false,
            };
            if *granted > 7 {
                return false;
            }
        }
        at == 4
    }

    /// The permission bits of a mode that goes with it (`posix_acl_equiv_mode`).
    pub fn bits(&self) -> u16 {
        let group = self.granted(Tag::Mask).or(self.granted(Tag::OwningGroup)).unwrap_or(0);
        self.granted(Tag::Owner).unwrap_or(0) << 6 | group << 3 | self.granted(Tag::Other).unwrap_or(0)
    }

    /// Whether a mode says all that it says.
    pub fn is_minimal(&self) -> bool {
        self.0.iter().all(|(tag, _)| matches!(tag, Tag::Owner | Tag::OwningGroup | Tag::Other))
    }

    /// The list after the mode was set to this (`__posix_acl_chmod_masq`).
    #[must_use]
    pub fn with_mode(mut self, mode: u16) -> Acl {
        let masked = self.granted(Tag::Mask).is_some();
        for (tag, granted) in &mut self.0 {
            match tag {
                Tag::Owner => *granted = mode >> 6 & 7,
                Tag::Mask => *granted = mode >> 3 & 7,
                Tag::OwningGroup if !masked => *granted = mode >> 3 & 7,
                Tag::Other => *granted = mode & 7,
                _ => {}
            }
        }
        self
    }

    /// What is made with this mode has of it: never more than either grants (`posix_acl_create_masq`).
    #[must_use]
    pub fn inherited(self, mode: u16) -> Acl {
        let bits = self.bits();
        self.with_mode(mode & bits)
    }

    fn granted(&self, of: Tag) -> Option<u16> {
        self.0.iter().find(|(tag, _)| *tag == of).map(|(_, granted)| *granted)
    }

    /// Whether it grants all of `wanted` to a user who is not the owner, by the groups that `is_in` says; `gid` is
    /// the owning one (`posix_acl_permission`).
    pub fn grants(&self, uid: u32, gid: u32, is_in: impl Fn(u32) -> bool, wanted: u16) -> bool {
        let masked = |granted: u16| granted & self.granted(Tag::Mask).unwrap_or(7) & wanted == wanted;
        let mut in_a_group = false;
        for (tag, granted) in &self.0 {
            match *tag {
                Tag::User(id) if id == uid => return masked(*granted),
                Tag::OwningGroup | Tag::Group(_) => {
                    let id = if let Tag::Group(id) = *tag { id } else { gid };
                    in_a_group |= is_in(id);
                    // Of several groups any that grants all of it will do.
                    if is_in(id) && granted & wanted == wanted {
                        return masked(*granted);
                    }
                }
                Tag::Other => return !in_a_group && granted & wanted == wanted,
                Tag::Owner | Tag::User(_) | Tag::Mask => {}
            }
        }
        false
    }
}

/// As a case writes it: `u::rwx,u:1000:r--,g::r-x,m::r-x,o::---`.
impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (tag, granted)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match tag {
                Tag::Owner => f.write_str("u:")?,
                Tag::User(id) => write!(f, "u:{id}")?,
                Tag::OwningGroup => f.write_str("g:")?,
                Tag::Group(id) => write!(f, "g:{id}")?,
                Tag::Mask => f.write_str("m:")?,
                Tag::Other => f.write_str("o:")?,
            }
            let letter = |bit: u16, letter: char| if granted & bit != 0 { letter } else { '-' };
            write!(f, ":{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))?;
        }
        Ok(())
    }
}

/// The value of an xattr as cases and reports write it: an access control list as `acl:` and its entries, anything
/// else in quotes.
#[derive(Clone, Copy, Debug)]
pub struct ValueText<'a>(pub &'a Bytes);

impl fmt::Display for ValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Acl::written(self.0) {
            Some(acl) => write!(f, "acl:{acl}"),
            None => fmt::Display::fmt(&self.0.quoted(), f),
        }
    }
}

/// Not an access control list.
#[derive(Debug, thiserror::Error)]
#[error("an access control list is written `acl:u::rwx,u:1000:r--,g::r-x,g:7:r--,m::r-x,o::---`")]
pub struct NotAcl;

impl FromStr for Acl {
    type Err = NotAcl;

    fn from_str(text: &str) -> Result<Acl, NotAcl> {
        let entry = |entry: &str| {
            let (whom, granted) = entry.rsplit_once(':')?;
            let (tag, id) = whom.split_once(':')?;
            let number = || {
                let plain = id.bytes().all(|b| b.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
                id.parse::<u32>().ok().filter(|id| plain && *id != NO_ID)
            };
            let tag = match (tag, id) {
                ("u", "") => Tag::Owner,
                ("u", _) => Tag::User(number()?),
                ("g", "") => Tag::OwningGroup,
                ("g", _) => Tag::Group(number()?),
                ("m", "") => Tag::Mask,
                ("o", "") => Tag::Other,
                _ => return None,
            };
            let bits = granted.bytes().zip(*b"rwx").map(|(b, letter)| match b {
                b'-' => Some(0),
                b if b == letter => Some(1),
                _ => None,
            });
            let bits = bits.collect::<Option<Vec<u16>>>().filter(|bits| bits.len() == 3 && granted.len() == 3)?;
            Some((tag, bits.into_iter().fold(0, |sum, bit| sum << 1 | bit)))
        };
        text.split(',').map(entry).collect::<Option<Vec<Entry>>>().map(Acl).ok_or(NotAcl)
    }
}

#[cfg(test)]
mod tests {
    use super::{Acl, Role};
    use crate::bytes::Bytes;
    use crate::errno::Errno;

    fn acl(text: &str) -> Acl {
        text.parse().expect("an access control list")
    }

    #[test]
    fn the_forms_are_inverses() {
        for text in ["u::rwx,u:1000:r--,g::r-x,g:7:-w-,m::r-x,o::---", "o::rwx", "u::---,g::---,o::---"] {
            let list = acl(text);
            assert_eq!(list.to_string(), text);
            assert_eq!(Acl::written(&list.encode()), Some(list));
        }
        for text in ["", "u::rw", "u::rwxr", "u:01:r--", "u:4294967295:r--", "m:1:r--", "u:r--", "u::xwr", "u::rwx,"] {
            assert!(text.parse::<Acl>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_that_are_none_are_refused() {
        let value = acl("u::rw-,u:5:r--,g::r--,m::r--,o::---").encode().0;
        let decode = |value: &[u8]| Acl::decode(value, |id| id != 6);
        assert_eq!(decode(&value[..3]), Err(Errno::EINVAL));
        assert_eq!(decode(&value[..4]), Ok(None));
        assert_eq!(decode(&value[..13]), Err(Errno::EINVAL));
        assert_eq!(decode(&[&[1], &value[1..]].concat()), Err(Errno::EOPNOTSUPP));
        let mut other = value;
        other[16] = 6;
        assert_eq!(decode(&other), Err(Errno::EINVAL), "nobody has this id");
        let list = acl("u::rw-,u:5:r--,o::---").encode_for_xfs();
        assert_eq!(list.as_slice()[..8], [0, 0, 0, 3, 0, 0, 0, 1]);
        assert_eq!(list.as_slice()[16..28], [0, 0, 0, 2, 0, 0, 0, 5, 0, 4, 0, 0]);
        // What is there for an entry without an id is not looked at, and not written back.
        let mut odd = acl("u::rw-,g::r--,o::---").encode();
        odd.0[8] = 1;
        assert_eq!(Acl::decode(odd.as_slice(), |_| true), Ok(Some(acl("u::rw-,g::r--,o::---"))));
        assert_eq!(Acl::written(&odd), None);
        assert_eq!(Acl::written(&Bytes::from("x")), None);
    }

    #[test]
    fn order_and_mask_are_looked_at() {
        for text in [
            "u::rwx,g::r-x,o::---",
            "u::rwx,u:1:r--,u:1:---,g::r-x,g:2:rwx,m::---,o::---",
            "u::---,g::---,m::---,o::---",
        ] {
            assert!(acl(text).is_valid(), "{text}");
        }
        for text in [
            "u::rwx,g::r-x",
            "u::rwx,u:1:r--,g::r-x,o::---",
            "g::r-x,u::rwx,o::---",
            "u::rwx,g::r-x,u:1:r--,m::rwx,o::---",
            "u::rwx,g::r-x,o::---,o::---",
            "u::rwx,g::r-x,m::r-x,m::r-x,o::---",
        ] {
            assert!(!acl(text).is_valid(), "{text}");
        }
    }

    #[test]
    fn modes_and_lists_go_together() {
        let list = acl("u::rw-,u:5:rwx,g::r-x,m::r--,o::-w-");
        assert_eq!((list.bits(), list.is_minimal()), (0o642, false));
        assert_eq!(list.clone().with_mode(0o4751).to_string(), "u::rwx,u:5:rwx,g::r-x,m::r-x,o::--x");
        assert_eq!(list.inherited(0o426).to_string(), "u::r--,u:5:rwx,g::r-x,m::---,o::-w-");
        let plain = acl("u::rwx,g::rwx,o::---");
        assert_eq!((plain.bits(), plain.is_minimal()), (0o770, true));
        assert_eq!(plain.inherited(0o755).to_string(), "u::rwx,g::r-x,o::---");
    }

    #[test]
    fn entries_grant_what_the_mask_leaves() {
        let list = acl("u::rwx,u:5:rw-,u:6:---,g::r--,g:7:-w-,m::rw-,o::r-x");
        let may = |uid, groups: &[u32], wanted| list.grants(uid, 1, |gid| groups.contains(&gid), wanted);
        assert!(may(5, &[], 6) && !may(5, &[], 1));
        assert!(!may(6, &[1, 7], 4), "a user's own entry comes first");
        assert!(may(9, &[1, 7], 4) && may(9, &[1, 7], 2) && !may(9, &[1, 7], 6), "one group must grant all");
        assert!(!may(9, &[7], 4), "in a group, other says nothing");
        assert!(may(9, &[], 5) && !may(9, &[], 2));
        let masked = acl("u::rwx,u:5:rwx,g::rwx,m::r--,o::---");
        assert!(masked.grants(5, 1, |_| false, 4) && !masked.grants(5, 1, |_| false, 2));
        assert!(!masked.grants(9, 1, |_| true, 2));
    }

    #[test]
    fn the_xattrs_have_their_names() {
        assert_eq!(Role::of(b"system.posix_acl_default"), Some(Role::Default));
        assert_eq!(Role::of(b"system.posix_acl"), None);
    }
}
