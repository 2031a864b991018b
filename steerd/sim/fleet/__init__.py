"""A thousand gateways, and PoPs whose delay grows with what they carry: do they run to and fro together?"""
