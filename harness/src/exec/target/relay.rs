//! Two targets that take turns: what one has left in the layers, the other mounts.

use std::path::PathBuf;

use super::{Layers, MountFailure, Mounted, TakeDown, Target};
use crate::exec::error::ExecError;

/// Two targets that take turns, at each mount of a case.
#[derive(Debug)]
pub(super) struct Relay {
    targets: [Box<dyn Target>; 2],
    /// The directory of the case: each one begins with the first.
    case: Option<PathBuf>,
    /// Whose turn it is.
    turn: usize,
}

impl Relay {
    /// The targets, in the order of their turns.
    pub(super) fn new(targets: [Box<dyn Target>; 2]) -> Relay {
        Relay { targets, case: None, turn: 0 }
    }
}

impl Target for Relay {
    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure> {
        let case = layers.path.cloned();
        self.turn = if self.case == case { 1 - self.turn } else { 0 };
        self.case = case;
        self.targets[self.turn].mount(layers)
    }

    fn unmount(&mut self, mounted: Mounted, _how: TakeDown<'_>) -> Result<(), ExecError> {
        // The other one's turn comes next, and it has the layers to itself.
        self.targets[self.turn].unmount(mounted, TakeDown::Now)
    }
}
