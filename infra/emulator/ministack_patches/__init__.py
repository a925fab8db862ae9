"""Everything that touches ministack's private names, one module per service.

Each module lists the names that it needs as its `CONTRACT`, which `contract.check` compares with the
installed ministack. Nothing else in this project imports ministack.
"""
