"""Parts of geocell heads: partitions, levels, offsets, objectives, fitting, files, figures, clusters."""
