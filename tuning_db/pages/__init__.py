"""The service's pages: what the API answers, for people; made on the server, readable without scripts."""
