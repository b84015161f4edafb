-- Says whose file this is: "MTwr" (file(1) shows it as the application id). Databases of earlier versions are recognised by their tables.
PRAGMA application_id = 1297381234;
