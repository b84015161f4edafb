//! MiniTower: domain.
