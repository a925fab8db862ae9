"""Everything that touches ministack's private names, one module per service.

`contract.toml` lists the names that each module needs, which `contract.check` compares with the installed
ministack. Nothing else in this project imports ministack.
"""
