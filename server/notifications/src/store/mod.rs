//! SQL for the subject's own tables: `notifications`, `notification_counts`, `notification_deliveries`, `notification_attempts`.

pub mod audited;
pub mod deliveries;
pub mod events;
pub mod notifications;

#[cfg(test)]
mod tests;
