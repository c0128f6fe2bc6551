//! The command line: arguments become one command, a command ends in an exit code.
