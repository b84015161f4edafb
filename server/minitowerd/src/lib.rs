//! MiniTower: minitowerd.
