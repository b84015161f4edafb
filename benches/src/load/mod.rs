//! The loads, one file each.

mod agent;
mod creates;
mod dispatch;
mod ended;
mod explains;
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

pub use creates::{Creates, creates, creates_with_keys, make, make_of_teams};
pub use dispatch::{Dispatch, dispatch};
pub use ended::{Lives, lives, make_ended, until_packed};
pub use explains::{Explains, explains};
pub use leases::{leases, leases_with_secrets};
pub use lifecycles::{Calls, Lifecycles, Shape, lifecycles};
pub use live::{Listening, Live, live};
pub use measure::{Costs, Window};
pub use reads::reads;
pub use waiting::{Waiting, waiting};
