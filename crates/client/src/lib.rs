//! MiniTower: client.
