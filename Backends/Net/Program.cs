return Paravane.Backends.Net.NetProgram.Run(args);
