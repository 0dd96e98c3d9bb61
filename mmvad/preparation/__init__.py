"""What prepares data and nothing of the flow needs: converters' helpers, doctor, plaza."""
