"""The configuration: one YAML file, checked as a whole, turned into one frozen `Settings`."""
