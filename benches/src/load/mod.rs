//! The loads, one file each.

mod creates;
mod lifecycles;
mod measure;

pub use creates::{Creates, creates};
pub use lifecycles::{Calls, Lifecycles, Shape, lifecycles};
pub use measure::{Costs, Window};
