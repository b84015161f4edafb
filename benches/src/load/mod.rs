//! The loads, one file each.

mod agent;
mod creates;
mod dispatch;
pub mod jobs;
mod leases;
mod lifecycles;
mod live;
mod measure;
mod reads;
mod runner;
pub mod transfer;
pub mod user_code;
mod waiting;

pub use creates::{Creates, creates, make, make_of_teams};
pub use dispatch::{Dispatch, dispatch};
pub use leases::leases;
pub use lifecycles::{Calls, Lifecycles, Shape, lifecycles};
pub use live::{Listening, Live, live};
pub use measure::{Costs, Window};
pub use reads::reads;
pub use waiting::{Waiting, waiting};
