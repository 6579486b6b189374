//! Attributes: chmod and truncate (`ovl_setattr`).

use super::Model;
use super::clause::Clause;
use super::copy_up::Copy;
use crate::errno::Errno;
use crate::trace::Kind;

impl Model {
    pub(super) fn chmod(&mut self, path: &[u8], mode: u32) -> Result<(), Errno> {
        let id = self.walk(path, true)?;
        self.must_copy_up(id, Clause::CupChmod)?;
        self.copy_up(id, Copy::Data)?;
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        self.disk.set_mode(&mut self.rules, ino, (mode & 0o7777) as u16);
        self.copy_attr(id);
        Ok(())
    }

    pub(super) fn truncate(&mut self, path: &[u8], len: i64) -> Result<(), Errno> {
        let Ok(len) = u64::try_from(len) else { return Err(self.refuse(Clause::VfsTruncateNegative, Errno::EINVAL)) };
        let id = self.walk(path, true)?;
        match self.kind_of(id) {
            Some(Kind::File) => {}
            Some(Kind::Dir) => return Err(self.refuse(Clause::VfsTruncateKind, Errno::EISDIR)),
            _ => return Err(self.refuse(Clause::VfsTruncateKind, Errno::EINVAL)),
        }
        self.must_copy_up(id, Clause::CupTruncate)?;
        self.copy_up(id, Copy::Data)?;
        let Some(ino) = self.cache.at(id).and_then(|n| n.upper) else { return Err(Errno::ESTALE) };
        // Cutting at the same size still cuts the storage behind it, which dates the file.
        let same = self.disk.data(ino).len() as u64 == len;
        let dated = !same || self.disk.is_stored(ino);
        self.drop_suid(id, dated);
        let fill = if len > self.disk.data(ino).len() as u64 && !self.rules.holds(Clause::VfsTruncateExtends) {
            b'x'
        } else {
            0
        };
        self.disk.resize(ino, len, fill);
        if !same || self.rules.holds(Clause::FsTruncateSame) == dated {
            self.disk.date_data(&mut self.rules, ino);
        }
        self.copy_attr(id);
        Ok(())
    }
}
