"""What is measured, and how: each module prints the ratios that the project promises."""
