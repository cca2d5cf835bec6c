//! One file per subcommand; the only room that may import everything and print.
