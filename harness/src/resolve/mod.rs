//! The layer resolver: merges layers as they were read from disk, and predicts nothing.
//!
//! It knows the format of layers (whiteouts, opaque marks, redirects, metacopy) and what a merged
//! view of them must show, whoever wrote them and however. So it judges what the model cannot:
//! mounts that somebody else made, and the model itself. It must not know the model, nor how layers
//! are read or judged; a test holds it to that.
//!
//! | module | what it is |
//! |---|---|
//! | `layer` | one layer with an index of its directories, and what marks its entries carry |
//! | `merge` | from a stack of layers to the merged tree |
//! | `compare` | the merged tree against a merged view that was seen |

mod compare;
mod layer;
mod merge;
#[cfg(test)]
mod tests;

pub use compare::{Difference, compare, differences};
pub use layer::LayerTree;
pub use merge::{Entry, Found, Rules, resolve};
