"""The emulator as a process: how it is started, served, watched and cleaned up after."""
