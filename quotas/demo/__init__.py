"""The demo's world as plain data: a function of a seed, the anchor date, the scale and the offerings on sale.

Nothing here reads or writes the database. quotas.services.demo writes what comes out, deals through the same batch
services and engine as everybody else's. All people, customers, amounts and rates are made up; what the offerings
are is not.
"""
