//! What proves the product; the programs are beside this file, one folder each.
