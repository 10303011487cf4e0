"""The course as readers get it: notebooks executed, the site, the PDF, the handout, the tables of the README."""
