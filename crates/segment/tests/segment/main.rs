//! The format as a whole: round trips, damage, fixtures, the document, the corpus of the fuzz targets.

mod corpus;
mod damage;
mod document;
mod fixtures;
mod oracle;
mod round_trip;
mod samples;
