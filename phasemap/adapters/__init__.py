"""A few lines each between a library's training loop and a trial; import the module of the library that is used."""
