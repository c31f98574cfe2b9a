using Paravane.Backends.Block;

return BlockProgram.Create().Run(args);
