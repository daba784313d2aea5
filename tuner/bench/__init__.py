"""``headstart bench``: Headstart against what else there is on this machine, interleaved, in processes of their own."""
