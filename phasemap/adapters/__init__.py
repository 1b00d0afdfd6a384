"""A few lines each between a library's training loop and a trial; import the module for the library that you use."""
