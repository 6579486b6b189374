//! The plain directory: no overlay at all, the baseline that the plain part of the model is held to.

use super::{Layers, MountFailure, Mounted, TakeDown, Target};
use crate::exec::error::ExecError;
use crate::exec::scratch::open_dir;

/// The top lower layer itself; the worker's root keeps `..` inside it.
#[derive(Debug)]
pub(super) struct Plain;

impl Target for Plain {
    fn has_upper(&self) -> bool {
        false
    }

    fn mount(&mut self, layers: &Layers<'_>) -> Result<Mounted, MountFailure> {
        let top = layers
            .lowers
            .first()
            .ok_or_else(|| ExecError::unsupported("a case without a lower layer", "give it one, which may be empty"))?;
        Ok(Mounted { root: open_dir(layers.base, top)? })
    }

    fn unmount(&mut self, mounted: Mounted, _how: TakeDown<'_>) -> Result<(), ExecError> {
        drop(mounted);
        Ok(())
    }
}
