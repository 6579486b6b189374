//! The curated cases of ovlcheck, found at run time by the test drivers in `tests/`.
