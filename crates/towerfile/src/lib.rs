//! MiniTower: towerfile.
