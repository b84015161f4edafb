//! MiniTower: store.
