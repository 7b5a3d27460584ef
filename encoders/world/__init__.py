"""The location encoder that ships: an atlas of open facts about the Earth, and how it is read."""
